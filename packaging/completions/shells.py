"""What a command line looks like in the languages of the shells."""

FILES, FOLDERS = ("FILE", "PATH"), ("DIR",)


def all_of(command):
    yield command
    for inner in command.commands:
        yield from all_of(inner)


def taking_values(command):
    """The names of all options that take a value, whichever command they belong to."""
    taking, others = set(), set()
    for one in all_of(command):
        for option in one.options:
            (taking if option.value else others).update(option.names)
    assert not taking & others, f"with a value here and without one there: {taking & others}"
    return sorted(taking)


def path(command):
    return " ".join(command.words)


# ---- bash


def bash_values(value, choices):
    if choices:
        return f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(choices)}" -- "$cur")'
    if value in FILES:
        return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
    if value in FOLDERS:
        return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur")'
    return ":"


def bash(name, command):
    steps, after, words = [], [], []
    for one in all_of(command):
        at = path(one)
        for inner in one.commands:
            steps.append(f'        "{at}/{inner.words[-1]}") command="{path(inner)}" ;;')
        for option in one.options:
            if option.value:
                patterns = "|".join(f'"{at} {each}"' for each in option.names)
                after.append(f"    {patterns}) {bash_values(option.value, option.choices)}; return ;;")
        flags = " ".join(each for option in one.options for each in option.names)
        plain = "; ".join([bash_values("", [inner.words[-1] for inner in one.commands])] * bool(one.commands) +
                          [bash_values(argument.value, argument.choices) for argument in one.arguments]) or ":"
        words.append(f'''    "{at}")
      if [[ $cur == -* ]]; then {bash_values("", flags.split())}; else {plain}; fi ;;''')
    return f'''# Made of what {name} says with --help.
_{name}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD-1]}} command="" skip="" word
  COMPREPLY=()
  # --option=value comes as three words.
  if [[ $cur == = ]]; then
    cur=""
  elif [[ $option == = ]]; then
    option=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    if [[ $word == = ]]; then skip=1; continue; fi
    if [[ -n $skip ]]; then skip=""; continue; fi
    case "$word" in
      {"|".join(taking_values(command))}) skip=1 ;;
      -*) ;;
      *) case "$command/$word" in
{chr(10).join(steps) or '        *) ;;'}
      esac ;;
    esac
  done
  case "$command $option" in
{chr(10).join(after)}
  esac
  case "$command" in
{chr(10).join(words)}
  esac
}}
complete -F _{name} {name}
'''


# ---- zsh


def zsh_quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def zsh_action(value, choices):
    if choices:
        return f"{value.split(':')[0].split('|')[0]}:({' '.join(choices)})"
    action = "_files" if value in FILES else "_files -/" if value in FOLDERS else " "
    return f"{value.replace(':', ' ')}:{action}"


def zsh_option(option):
    about = option.description.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    value = f":{zsh_action(option.value, option.choices)}" if option.value else ""
    specs = []
    for each in option.names:
        but = "*" if option.repeats else f"({' '.join(option.names)})"
        joined = each + ("=" if option.value and each.startswith("--") else "")
        specs.append(zsh_quoted(f"{but}{joined}[{about}]{value}"))
    return specs


def zsh_function(name, command):
    function = "_".join(["", name, *command.words])
    specs = [spec for option in command.options for spec in zsh_option(option)]
    for argument in command.arguments:
        many = "*" if argument.repeats else ""
        specs.append(zsh_quoted(f"{many}:{zsh_action(argument.value, argument.choices)}"))
    if not command.commands:
        return f"{function}() {{\n  _arguments -s -S " + " \\\n    ".join(specs) + "\n}\n"
    specs += ["'1: :->command'", "'*:: :->rest'"]
    described = "\n".join("        " + zsh_quoted(f"{inner.words[-1]}:{inner.description}") for inner in command.commands)
    cases = "\n".join(f"        {inner.words[-1]}) {'_'.join(['', name, *inner.words])} ;;" for inner in command.commands)
    return f'''{function}() {{
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C {" ".join([""] + [chr(92) + chr(10) + "    " + spec for spec in specs]).strip()}
  case $state in
    command)
      local -a commands=(
{described}
      )
      _describe -t commands command commands ;;
    rest)
      case $line[1] in
{cases}
      esac ;;
  esac
}}
'''


def zsh(name, command):
    functions = "\n".join(zsh_function(name, one) for one in all_of(command))
    return f'#compdef {name}\n# Made of what {name} says with --help.\n\n{functions}\n_{name} "$@"\n'


# ---- fish


def fish_quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_values(value, choices):
    if not value:
        return ""
    if choices:
        return f" -x -a {fish_quoted(' '.join(choices))}"
    return " -r -F" if value in FILES else " -x -a '(__fish_complete_directories)'" if value in FOLDERS else " -x"


def fish(name, command):
    steps, lines = [], []
    for one in all_of(command):
        at = path(one)
        here = f"complete -c {name} -n {fish_quoted(f'__{name}_at {at}'.strip())}"
        for inner in one.commands:
            steps.append(f"            case {fish_quoted(f'{at}/{inner.words[-1]}')}\n                set command {path(inner)}")
            lines.append(f"{here} -a {inner.words[-1]} -d {fish_quoted(inner.description)}")
        for argument in one.arguments:
            if argument.value in FILES:
                lines.append(f"{here} -F")
            elif argument.choices:
                lines.append(f"{here} -a {fish_quoted(' '.join(argument.choices))}")
        for option in one.options:
            names = " ".join(f"-l {each[2:]}" if each.startswith("--") else f"-s {each[1:]}" for each in option.names)
            lines.append(f"{here} {names}{fish_values(option.value, option.choices)} -d {fish_quoted(option.description)}")
    walk = "" if not steps else f'''
            case '*'
                switch "$command/$word"
''' + "\n".join("    " + step.replace("\n", "\n    ") for step in steps) + "\n                end"
    return f'''# Made of what {name} says with --help.

# Whether the words so far name this command.
function __{name}_at
    set -l command
    set -l skip no
    for word in (commandline -opc)[2..]
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case {" ".join(taking_values(command))}
                set skip yes
            case '-*'{walk}
        end
    end
    test "$command" = "$argv"
end

complete -c {name} -f
{chr(10).join(lines)}
'''


WRITERS = {"bash": bash, "zsh": zsh, "fish": fish}

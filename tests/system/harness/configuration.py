"""posternd.toml as a dictionary, and its text."""

import json


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    # JSON's escapes are a subset of those of a TOML basic string.
    return json.dumps(str(value), ensure_ascii=False)


def _key(key):
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _is_table_array(value):
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def toml(settings):
    """A dictionary as TOML: scalars first, then tables, then arrays of tables."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in settings.items()
             if not isinstance(value, dict) and not _is_table_array(value)]
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += ["", f"[{_key(key)}]"] + [f"{_key(name)} = {_value(item)}" for name, item in value.items()]
    for key, value in settings.items():
        if _is_table_array(value):
            for table in value:
                lines += ["", f"[[{_key(key)}]]"] + [f"{_key(name)} = {_value(item)}" for name, item in table.items()]
    return "\n".join(lines) + "\n"

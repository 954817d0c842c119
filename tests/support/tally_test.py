"""tally.py decides whether a change is good: here it meets everything that must not pass for a success."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import tally


def junit(*cases: str) -> str:
    return f"<testsuites><testsuite name='s'>{''.join(cases)}</testsuite></testsuites>"


PASSED = "<testcase classname='c' name='good'/>"
FAILED = "<testcase classname='c' name='bad'><failure message='1 == 2'>at x_test.cpp:7</failure></testcase>"
ERROR = "<testcase classname='c' name='broken'><error message='fixture'/></testcase>"
SKIPPED = "<testcase classname='c' name='left out'><skipped message='no such tool'/></testcase>"


class TallyTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.build = pathlib.Path(scratch.name) / "build"
        (self.build / "junit").mkdir(parents=True)
        (self.build / "meson-logs").mkdir()
        self.known = []  # what meson knows
        self.ran = []    # what meson's log says

    def file(self, content: str, name: str = "system.xml") -> str:
        path = self.build / "junit" / name
        path.write_text(content)
        return str(path)

    def program(self, name: str, content: str | None, result: str = "OK", returncode: int = 0, ran: bool = True,
                stderr: str = "") -> None:
        path = self.build / "junit" / f"{name}.xml"
        if content is not None:
            path.write_text(content)
        self.known.append({"name": name, "suite": ["postern:unit"], "cmd": [f"/build/{name}", "-o", str(path)]})
        if ran:
            self.ran.append({"name": f"postern:unit / {name}", "result": result, "returncode": returncode,
                             "stderr": stderr})

    def run_tally(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, the last line, and everything that was printed."""
        log = "\n".join(json.dumps(record) for record in self.ran)
        (self.build / "meson-logs" / "check.json").write_text(log)
        output = io.StringIO()
        listing = mock.Mock(stdout=json.dumps(self.known))
        with mock.patch("sys.argv", ["tally.py", *arguments]), contextlib.redirect_stdout(output), \
                mock.patch("tally.subprocess.run", return_value=listing):
            code = tally.main()
        return code, output.getvalue().splitlines()[-1], output.getvalue()

    def programs(self) -> tuple[int, str, str]:
        return self.run_tally("--programs", f"{self.build}:unit")

    def test_cases_that_pass_are_counted(self):
        self.assertEqual(self.run_tally("--junit", self.file(junit(PASSED, PASSED)))[:2], (0, "2 passed, 0 failed"))

    def test_a_failure_is_printed_with_its_message(self):
        code, last, text = self.run_tally("--junit", self.file(junit(PASSED, FAILED)))
        self.assertEqual((code, last), (1, "1 passed, 1 failed"))
        self.assertIn("1 == 2", text)
        self.assertIn("at x_test.cpp:7", text)

    def test_errors_and_skipped_cases_are_failures(self):
        self.assertEqual(self.run_tally("--junit", self.file(junit(PASSED, ERROR, SKIPPED)))[:2],
                         (1, "1 passed, 2 failed"))

    def test_a_missing_a_cut_and_an_empty_file_are_failures(self):
        self.assertEqual(self.run_tally("--junit", str(self.build / "none.xml"))[:2], (1, "0 passed, 1 failed"))
        self.assertEqual(self.run_tally("--junit", self.file(junit(PASSED)[:-9]))[:2], (1, "0 passed, 1 failed"))
        self.assertEqual(self.run_tally("--junit", self.file(junit()))[:2], (1, "0 passed, 1 failed"))

    def test_nothing_at_all_is_a_failure(self):
        self.assertEqual(self.run_tally()[:2], (1, "0 passed, 0 failed"))

    def test_programs_that_pass(self):
        self.program("unit-a", junit(PASSED))
        self.program("unit-b", junit(PASSED, PASSED))
        self.assertEqual(self.programs()[:2], (0, "3 passed, 0 failed"))

    def test_a_program_that_crashed_before_it_wrote_anything(self):
        self.program("unit-a", None, result="FAIL", returncode=-11, stderr="Segmentation fault")
        code, last, text = self.programs()
        self.assertEqual((code, last), (1, "0 passed, 1 failed"))
        self.assertIn("exit code -11", text)
        self.assertIn("Segmentation fault", text)

    def test_a_program_that_failed_after_its_last_case(self):
        self.program("unit-a", junit(PASSED), result="FAIL", returncode=1, stderr="LeakSanitizer: detected memory leaks")
        code, last, text = self.programs()
        self.assertEqual((code, last), (1, "1 passed, 1 failed"))
        self.assertIn("detected memory leaks", text)

    def test_a_program_that_was_not_run(self):
        self.program("unit-a", junit(PASSED), ran=False)
        self.assertEqual(self.programs()[:2], (1, "0 passed, 1 failed"))

    def test_a_program_that_hung(self):
        self.program("unit-a", None, result="TIMEOUT", returncode=-15)
        self.assertEqual(self.programs()[:2], (1, "0 passed, 1 failed"))

    def test_other_suites_are_none_of_its_business(self):
        self.program("unit-a", junit(PASSED))
        self.known.append({"name": "loop-a", "suite": ["postern:loop"], "cmd": ["/build/loop-a"]})
        self.assertEqual(self.programs()[:2], (0, "1 passed, 0 failed"))

    def test_a_test_without_cases_counts_as_one(self):
        self.known.append({"name": "script", "suite": ["postern:unit"], "cmd": ["/usr/bin/python3", "x.py"]})
        self.ran.append({"name": "postern:unit / script", "result": "OK", "returncode": 0})
        self.assertEqual(self.programs()[:2], (0, "1 passed, 0 failed"))
        self.ran[0].update(result="FAIL", returncode=1)
        self.assertEqual(self.programs()[:2], (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()

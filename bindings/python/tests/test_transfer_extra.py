"""The command `lookalike.transfer` where its extra is not installed."""

from __future__ import annotations

import subprocess
import sys
import unittest

BLOCKED = "import sys; sys.modules['torch'] = None; "


def ran(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


class Extra(unittest.TestCase):
    def test_importing_the_package_imports_no_framework(self):
        names = "torch torchvision pycocotools PIL safetensors"
        found = ran(
            f"import sys, lookalike, lookalike.transfer; print([name for name in {names.split()!r} if name in sys.modules])"
        )
        self.assertEqual((found.stdout.strip(), found.returncode), ("[]", 0), found.stderr)

    def test_a_missing_extra_is_named_with_its_command(self):
        found = ran(
            BLOCKED + "from lookalike.transfer._command import main; sys.exit(main(['detect', 'random', 'no-folder']))"
        )
        self.assertEqual((found.returncode, found.stdout), (1, ""))
        self.assertRegex(found.stderr, "^error: this needs torch, which cannot be imported")
        self.assertIn("pip install './bindings/python[transfer]'", found.stderr)
        self.assertNotIn("Traceback", found.stderr)

    def test_options_that_are_no_options_are_named(self):
        for option, message in [
            ("'--seeds', '0'", "'0' is not an integer from 1 to 1000"),
            ("'--seeds', '1,1'", "'1,1' names no seed, or one twice"),
            ("'--seeds', ','", "',' names no seed, or one twice"),
            ("'--size', '8'", "'8' is not an integer from 16 to 8192"),
            ("'--epochs', 'x'", "'x' is not an integer above 0"),
            ("'--lr', 'nan'", "'nan' is not a number above 0"),
            ("'--mean', '1,2'", "'1,2' is not three numbers"),
            ("'--anchors', '8,16'", "'8,16' is not five numbers"),
            ("'--classes', 'a,a'", "'a,a' names a class twice"),
        ]:
            call = f"main(['detect', 'random', 'no-folder', {option}])"
            with self.subTest(message):
                found = ran(f"from lookalike.transfer._command import main; {call}")
                self.assertEqual(found.returncode, 2)
                self.assertIn(message, found.stderr)


if __name__ == "__main__":
    unittest.main()

"""The stub of the native half beside the native half itself."""

from __future__ import annotations

import ast
import inspect
import unittest
from pathlib import Path

import lookalike
from lookalike import _lookalike


def parameters(node: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in node.args.args if argument.arg not in ("self", "cls")]


class Stub(unittest.TestCase):
    def test_the_stub_names_what_there_is_with_its_parameters(self):
        folder = Path(lookalike.__file__).parent
        self.assertTrue((folder / "py.typed").exists())
        tree = ast.parse((folder / "_lookalike.pyi").read_text(encoding="utf-8"))
        named = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        there = {name for name in vars(_lookalike) if not name.startswith("_")}
        self.assertEqual(set(named), there)
        for name, node in named.items():
            native = getattr(_lookalike, name)
            if isinstance(node, ast.FunctionDef):
                self.assertEqual(parameters(node), list(inspect.signature(native).parameters), name)
                continue
            methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
            self.assertEqual(
                set(methods) - {"__new__"}, {method for method in vars(native) if not method.startswith("_")}
            )
            for method_name, method in methods.items():
                if not any(getattr(mark, "id", None) == "property" for mark in method.decorator_list):
                    native_method = native if method_name == "__new__" else getattr(native, method_name)
                    found = [name for name in inspect.signature(native_method).parameters if name != "self"]
                    self.assertEqual(parameters(method), found, method_name)


if __name__ == "__main__":
    unittest.main()

"""One name, one thing: no class name is defined twice in the library."""

import ast
from collections import Counter
from pathlib import Path

import simlib


def test_each_class_name_is_defined_once():
    modules = Path(simlib.__file__).parent.rglob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in modules]
    names = [node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(names) > 100
    assert [name for name, times in Counter(names).items() if times > 1] == []

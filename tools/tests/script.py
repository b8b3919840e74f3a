"""Loads a script of tools/ that has no .py in its name, for its tests."""

import importlib.machinery
import importlib.util
import os
import sys


def load(name):
    sys.dont_write_bytecode = True
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)
    loader = importlib.machinery.SourceFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module

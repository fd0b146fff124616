"""The faults that can be put into a statement; `tests.mutation` says which and why."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

from tests.mutation.statements import bodies

__all__ = ["Fault", "faults", "swallowed"]

# the operator's name, what is replaced (from the first node's start to the last one's end), by what
Fault = tuple[str, ast.AST, ast.AST, str]

_COMPARED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.Lt: ast.LtE(), ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(), ast.GtE: ast.Gt(), ast.Is: ast.IsNot(), ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(), ast.NotIn: ast.In(),
}  # fmt: skip
_EDGES = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_COMPUTED: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.FloorDiv(), ast.Div: ast.Mult(),
    ast.FloorDiv: ast.Mult(), ast.Mod: ast.FloorDiv(), ast.Pow: ast.Mult(),
    ast.LShift: ast.RShift(), ast.RShift: ast.LShift(), ast.BitAnd: ast.BitOr(),
    ast.BitOr: ast.BitAnd(), ast.BitXor: ast.BitAnd(),
}  # fmt: skip
_OTHER_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TYPE_CALLS = {"cast", "TypeVar", "NewType", "ParamSpec", "Protocol", "Literal"}
_FOR_TYPES = {"overload", "override", "abstractmethod", "final", "runtime_checkable"}
_WORDS = {"hint", "message", "reason"}
_STRAIGHT = (ast.Delete, ast.Raise, ast.Continue, ast.Break)


def faults(statement: ast.stmt, errors: frozenset[str]) -> Iterator[Fault]:
    """All faults of a statement itself; those below it have their own. `errors` are classes."""
    if isinstance(statement, ast.Assert | ast.Import | ast.ImportFrom) or _is_log(statement):
        return
    if isinstance(statement, ast.If) and _names(statement.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(statement, ast.Assign) and _names(statement.targets[0]) in {
        "__all__",
        "__slots__",
    }:
        return
    yield from _of_statement(statement)
    for part in _parts(statement):
        yield from _of_expressions(part, isinstance(statement, ast.Raise), errors)


def swallowed(handler: ast.ExceptHandler) -> Iterator[Fault]:
    """The handler does nothing."""
    if not isinstance(handler.body[0], ast.Pass):
        yield "swallow", handler.body[0], handler.body[-1], "pass"


def _of_statement(node: ast.stmt) -> Iterator[Fault]:
    if isinstance(node, _STRAIGHT) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield "delete", node, node, "pass"
    elif isinstance(node, ast.AugAssign):
        yield "delete", node, node, "pass"
        if type(node.op) in _COMPUTED:
            other = copy.copy(node)
            other.op = _COMPUTED[type(node.op)]
            yield "arithmetic", node, node, ast.unparse(other)
    elif isinstance(node, ast.Assign):
        if not any(isinstance(one, ast.Name | ast.Tuple) for one in node.targets):
            yield "delete", node, node, "pass"
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value in (None, False)):
            yield "return", node, node, "return None"
    elif isinstance(node, ast.If | ast.While):
        yield from _negated(node.test)
    for one in getattr(node, "decorator_list", ()):
        if _names(one).rpartition(".")[2] not in _FOR_TYPES:
            yield "decorator", one, one, ""


def _of_expressions(node: ast.AST, says: bool, errors: frozenset[str]) -> Iterator[Fault]:
    """Faults of an expression; `says` is set where texts are words for people."""
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.Constant):
        new = None if says and isinstance(node.value, str) else _constant(node.value)
        if new is not None:
            yield "constant", node, node, repr(new)
        return
    if isinstance(node, ast.Call):
        name = _names(node.func).rpartition(".")[2]
        if name in _TYPE_CALLS:
            yield from (f for one in node.args[1:] for f in _of_expressions(one, says, errors))
            return
        says = says or name in errors
        if isinstance(node.func, ast.Name) and name in _OTHER_CALLS:
            yield "call", node.func, node.func, _OTHER_CALLS[name]
    yield from _of_operator(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and _is_text(node.left):
        says = True
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "type_comment"}:
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                is_word = isinstance(one, ast.keyword) and one.arg in _WORDS
                yield from _of_expressions(one, says or is_word, errors)


def _of_operator(node: ast.AST) -> Iterator[Fault]:
    other: Any = copy.copy(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other.ops = [_COMPARED[type(node.ops[0])]]
        yield "comparison", node, node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.BoolOp):
        other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", node, node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        if not (isinstance(node.op, ast.Mod) and _is_text(node.left)):
            other.op = _COMPUTED[type(node.op)]
            yield "arithmetic", node, node, f"({ast.unparse(other)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "unary", node, node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.IfExp):
        yield from _negated(node.test)
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield from _negated(test)


def _negated(test: ast.expr) -> Iterator[Fault]:
    if isinstance(test, ast.Constant) or (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    ):
        return  # for ever; `not` is left out by itself
    if isinstance(test, ast.Compare) and not isinstance(test.ops[0], _EDGES):
        return  # the comparison is turned round by itself
    yield "negate", test, test, f"(not ({ast.unparse(test)}))"


def _constant(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return "" if value else "XX"
    if isinstance(value, bytes):
        return b"" if value else b"XX"
    return None


def _parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """Expressions of a statement itself that run: not its types, nor the statements below it."""
    below = {id(one) for body in bodies(statement) for one in body}
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from statement.args.defaults
        yield from (one for one in statement.args.kw_defaults if one is not None)
    elif isinstance(statement, ast.AnnAssign):
        if statement.value is not None:
            yield statement.value
    elif not isinstance(statement, ast.ClassDef):
        for one in ast.iter_child_nodes(statement):
            if id(one) not in below and not isinstance(one, ast.ExceptHandler | ast.match_case):
                yield one


def _names(node: ast.AST) -> str:
    """``a.b`` of ``a.b``, of ``a.b(...)`` and of ``a.b[...]``."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def _is_log(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and _names(node.value).lower().startswith(
        ("_log.", "logging.")
    )


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant | ast.JoinedStr) and not isinstance(
        getattr(node, "value", ""), int | float
    )

"""Do the tests notice when the program is wrong? ``python -m tests.mutation --seed 1 --count 300``.

A *mutant* is the program with one small fault put in. Its covering tests run against it, in a
copy of the tree; one that no test notices *survived*: a test is missing, or the code does
nothing. Mutants are drawn by statements, at most one of each, by a hash of the seed and of what
the statement says, so that a seed draws the same ones as long as their statements stay as they
are.

What is put in (`operators`): comparisons at their edge or turned round, ``and`` for ``or``,
another arithmetic operator, numbers one more, texts empty, booleans turned, conditions negated,
``not``, signs and decorators left out, ``min`` for ``max``, ``any`` for ``all``, statements left
out, ``None`` returned, exceptions swallowed.

What is not: docstrings, types, ``__all__``, assertions (they are for mypy), what is logged, and
the words of errors and of f-strings, which are for people (whether an error is raised is put in);
arguments of decorators (``slots=True``).

Which tests cover a statement is found by marks in a copy (`statements`), which set a byte of a
file that is mapped into memory: so all processes count, however tests start them, agents that
were sent to a host and those that are killed too. Statements of modules and classes run on
import; their mutants get the tests of the whole module. Tests that speak of the module go first,
then those of its room, then others, of each the fastest first; a minute of them at most. Slow
tests and those on lab hosts do not take part.
"""

"""Algorithms: Boutiques descriptors, typed parameters, code bundles, and what a job runs.

A descriptor (Boutiques schema 0.5) says how a program is called; what medgrid needs beyond that
stands in its ``custom.medgrid`` (``medgrid.schema.json``). The program is called without a shell:
each value is a whole argument, or a part of one, byte for byte.

========================  ====================================================================
`descriptor`              reading and checking a descriptor; its digest
`template`                the command line as words and value-keys
`parameters`              text given by a user -> typed values; groups and requirements
`outputs`                 where the program writes: path-templates and their conditions
`invocation`              all of these -> what one job runs (`compose`)
`bundle`                  the folder of code that goes with a descriptor, as one tar
`lockfile`                versions and digests of all that an environment is made of
`wheelhouse`              the wheels of a Python environment, as one tar
========================  ====================================================================
"""

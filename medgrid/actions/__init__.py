"""The use cases, one file per verb: the only room that combines the rooms below.

Every action takes a `medgrid.actions.grid.Grid` first, plain values after, and returns values of
`medgrid.model`. Nothing here prints; long work reports through `medgrid.actions.progress`.
"""

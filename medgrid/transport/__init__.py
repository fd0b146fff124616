"""SSH: the one room that knows paramiko.

`medgrid.transport.ssh.connect` opens a connection, checked against known hosts;
`medgrid.transport.hostkeys` looks host keys up, shows and accepts them.
"""

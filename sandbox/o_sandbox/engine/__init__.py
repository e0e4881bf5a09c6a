"""The process that runs WebAssembly: one call per instance, in a jail of its own.

`python -m o_sandbox.engine` loads what is compiled, enters the jail, and only then takes its first
connection. It holds nothing worth stealing: the host functions of a call are its client's, reached
over the connection, and only as long as the call runs.
"""

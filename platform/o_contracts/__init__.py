"""What crosses a process boundary: ids, bridge frames and operations, wire schemas of turns.

Imported by the platform and by the code inside an instance's container, so it depends on msgspec
and the standard library only.
"""

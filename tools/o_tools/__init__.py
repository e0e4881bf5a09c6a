"""Built-in tools: what the model is told of each, and the pure part of what each does.

`catalogue` lists them, `edits` are changes of a memory block's text, `queries` are the arguments of
those that read or write outside the block texts. The bridge executes them.
"""

"""Language models: the built-in ones, the gateway to the others, budgets and the catalogue.

`builtin` runs inside the bridge and needs no network. Everything else goes through `client` to the
gateway process (`python -m o_platform.llm`), the only one that imports LiteLLM and the only one
that holds provider keys.
"""

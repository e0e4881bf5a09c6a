"""The control plane's HTTP API: Letta's CRUD routes and the operator's `/o/v1/…`.

It listens on `<run>/control.sock`. Who calls was decided before: Envoy checks keys and roles and
sets `x-o-client`; whoever can open the socket itself is an operator.
"""

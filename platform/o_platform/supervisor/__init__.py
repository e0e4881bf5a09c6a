"""Parent of the platform's local processes, after OTP's supervisors.

`machine.decide` is the whole policy, as a pure function. `loop.Supervisor` carries it out in one
thread: no polling, a child's death wakes it by SIGCHLD. The package imports nothing heavy, so that
the process stays small enough to survive what kills its children.
"""

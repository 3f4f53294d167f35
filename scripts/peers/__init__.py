"""What `bench-peers` is made of: the estate it generates, one job for each peer, and the stopwatch.

The jobs and `check` run as processes of their own. The stopwatch imports nothing large, since a child's peak memory,
as the system counts it, is never below its parent's at the time of the fork.
"""

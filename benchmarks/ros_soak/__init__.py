"""Whether the nodes last: thousands of goals, faults, malformed messages, lifecycle cycles."""

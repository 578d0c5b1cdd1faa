"""What a host must have for an Enforcer, held against what it has.

``gathering`` and ``contact`` look at a host and its network and write down what they find (``Host``, ``Contact``); the
modules named after groups of requirements judge such records and do nothing else, so that a record of any host can
be judged anywhere. ``features`` asks the running kernel itself; ``examination`` brings all of it together.
"""

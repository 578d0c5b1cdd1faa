"""``python -m testbed``: remove what beds of dead owners have left on this machine."""

from testbed.remains import sweep

for bed in sweep():
    print(f"removed {bed}")

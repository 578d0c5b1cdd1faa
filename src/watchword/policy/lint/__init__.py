"""What is doubtful about a policy: rules that do nothing, that fight each other, that open too much.

Every code is defined exactly in :mod:`watchword.policy.lint.codes` and ``docs/policy.md``; a finding is
never a guess. "Present" means: of the units and networks in the world that is looked at.
"""

from watchword.policy.lint.codes import CODES as CODES
from watchword.policy.lint.codes import Code as Code
from watchword.policy.lint.codes import Severity as Severity
from watchword.policy.lint.findings import Finding as Finding
from watchword.policy.lint.findings import Witness as Witness
from watchword.policy.lint.linter import findings as findings

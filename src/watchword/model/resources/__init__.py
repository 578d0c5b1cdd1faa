"""The resources of the API, each declared once, a module for each noun.

REST routes, validation, storage, OpenAPI and CLI derive from these structs and from
:mod:`watchword.model.registry`; a field that is not here exists nowhere. Checks that need more than
one field's own type (tags, expressions, ports, addresses) are in the modules named after them.
"""

from __future__ import annotations

from watchword.model.resources.access import AppCredential as AppCredential
from watchword.model.resources.access import Token as Token
from watchword.model.resources.activities import Activity as Activity
from watchword.model.resources.drafts import Draft as Draft
from watchword.model.resources.drafts import DraftChange as DraftChange
from watchword.model.resources.enforcers import Enforcer as Enforcer
from watchword.model.resources.enforcers import Requirement as Requirement
from watchword.model.resources.flows import DraftVerdict as DraftVerdict
from watchword.model.resources.flows import FlowReport as FlowReport
from watchword.model.resources.intents import Intent as Intent
from watchword.model.resources.lookups import DNSLookupReport as DNSLookupReport
from watchword.model.resources.mappings import EnforcerProfileMappingPolicy as EnforcerProfileMappingPolicy
from watchword.model.resources.mappings import NamespaceMappingPolicy as NamespaceMappingPolicy
from watchword.model.resources.namespaces import Namespace as Namespace
from watchword.model.resources.namespaces import NamespaceType as NamespaceType
from watchword.model.resources.namespaces import TrafficAction as TrafficAction
from watchword.model.resources.networks import ExternalNetwork as ExternalNetwork
from watchword.model.resources.policytests import AssertionResult as AssertionResult
from watchword.model.resources.policytests import PolicyAssertion as PolicyAssertion
from watchword.model.resources.policytests import PolicyTest as PolicyTest
from watchword.model.resources.profiles import EnforcerProfile as EnforcerProfile
from watchword.model.resources.revisions import Revision as Revision
from watchword.model.resources.rulesets import NetworkRule as NetworkRule
from watchword.model.resources.rulesets import NetworkRuleSetPolicy as NetworkRuleSetPolicy
from watchword.model.resources.rulesets import RuleAction as RuleAction
from watchword.model.resources.units import NetworkService as NetworkService
from watchword.model.resources.units import ProcessingUnit as ProcessingUnit
from watchword.model.resources.units import UnitType as UnitType

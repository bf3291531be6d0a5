"""Values and decisions.

Here nothing is opened, nothing is asked for the time and nothing is logged: functions take values and
return values, and a refusal is a value or an error that carries its reasons. Imports: the standard
library, ``semver``, and in ``windows`` alone ``cronsim`` (ADR 0008); nothing else.
"""

"""Incidents, told to a webhook.

``thread``  looks for incidents; nothing waits for it
``webhook`` an incident in the form that a webhook takes
"""

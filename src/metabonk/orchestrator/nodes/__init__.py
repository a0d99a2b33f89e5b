"""The machines of a fleet of several, at its head.

``table``     nodes, their epochs, and who may run which worker
``placement`` workers spread over them
``clocks``    those that don't agree
``head``      joins and reports, and what is made of them
``routes``    the routes of agents
``whep``      WebRTC for streams of nodes
"""

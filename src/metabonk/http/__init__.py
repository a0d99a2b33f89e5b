"""The HTTP server and application that every process builds its routes on.

``app``         the FastAPI application: guards, and an ``ErrorBody`` for every refusal
``auth``        the access token of a page that is served beyond this machine
``server``      uvicorn in a thread
``connection``  deadlines for requests and connections
"""

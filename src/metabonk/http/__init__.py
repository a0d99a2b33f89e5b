"""The HTTP server and application that every process builds its routes on.

``server``      uvicorn in a thread
``connection``  deadlines for requests and connections
``origin``      checks of hosts and origins
``auth``        token authentication for a page served beyond this machine
``app``         the FastAPI application with its guards
``errors``      an ``ErrorBody`` for every refusal
``metrics``     Prometheus metrics of a status object
"""

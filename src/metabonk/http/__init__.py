"""The HTTP server and application that every process builds its routes on.

``server``      uvicorn in a thread
``connection``  deadlines for requests and connections
``admission``   limits on open responses
``origin``      checks of hosts and origins
``prefix``      a page under a path of a shared host
``auth``        token authentication for a page served beyond this machine
``embed``       tiles that pages of other origins may embed
``app``         the FastAPI application with its guards
``errors``      an ``ErrorBody`` for every refusal
``disconnect``  responses that end when their client has left
``weights``     the newest weights of the policy
``weights_poller``  fetches them
``metrics``     Prometheus metrics of a status object
"""

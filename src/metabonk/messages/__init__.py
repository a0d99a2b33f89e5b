"""Messages between processes, and to the page, as pydantic models.

The OpenAPI documents, and from them the page's TypeScript types, are generated from these models.
Weights and rollouts travel as safetensors instead (``policy.weights``, ``policy.rollout``).
"""

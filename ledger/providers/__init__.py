"""Payment providers: their two protocols, outgoing calls and incoming webhooks, and the implementations.

Above it are the services of payments; below it models and errors. Nothing here touches the database.
"""

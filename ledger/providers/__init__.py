"""Payment providers: their two protocols, outgoing calls and incoming webhooks, and what implements them.

Above it stand the services of payments; below it models and errors. Nothing here touches the database.
"""

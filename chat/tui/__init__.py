"""The screen of `lamella`. It shows what a `chat.driver.Driver` tells and passes on what is typed; it decides nothing.

Never here: sockets, models, plans. Reading order: `app`, `conversation_view`, `prompt`, `status_bar`, `route_panel`.
"""

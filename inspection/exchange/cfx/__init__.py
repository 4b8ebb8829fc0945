"""IPC-CFX (IPC-2591) over AMQP 1.0: what is said (`bodies`, `events`), what is answered
(`requests`), and how it travels (`link`). Only `link` needs the extra `cfx`."""

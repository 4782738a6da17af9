"""The limits of the wire, by name: what is larger is refused before it costs anything.

Whoever sends more than this is the one who suffers: the message is answered 4xx or 513 if it can be answered at
all, the stream is closed, and nobody else notices.
"""

MAX_MESSAGE_BYTES = 65_535
"""One message, head and body: the largest UDP datagram, and the same for streams (513 beyond, RFC 3261 §21.5.7)."""

MAX_HEADER_LINES = 256
"""Header lines of one message, folded lines counted each. The longest real one we have seen has 60."""

MAX_LINE_BYTES = 8_192
"""One line with its continuations, and all lines of a list that is taken apart. Identity headers (RFC 8224) are the
longest in practice, up to about 2 kB."""

MAX_DELIMITERS = 4_096
"""Quotes, commas, semicolons and angle brackets in one value that has to be taken apart step by step."""

MAX_CSEQ = 2**31 - 1
"""RFC 3261 §8.1.1.5: a sequence number is less than 2**31."""

MAX_SECONDS = 2**31 - 1
"""Delta-seconds beyond this are read as this: 68 years are for ever."""

MAX_CHALLENGES = 16
"""Challenges of one 401 or 407 that are read, whatever their scheme; those below are passed over."""

MAX_CHALLENGES_BYTES = 16_384
"""All lines of the challenges of one answer. What is longer is passed over with those below it: a datagram full of them
took 7 ms. Real ones have some 200 bytes each."""

MAX_CHALLENGE_BYTES = 2_048
"""Realm, nonce and opaque of one challenge together: what we would have to send back in every request."""

MAX_DOMAINS = 4
"""Realms that one request answers, and that are remembered for one trunk: the one learned first is forgotten first."""

MAX_TRIES = 4
"""Requests in a row that answer challenges: proxy, far end, and an old nonce at each. Then the attempt has failed."""

MAX_NONCE_COUNT = 0xFFFFFFFF
"""RFC 7616 §3.4: nc has 8 hexadecimal digits. A nonce used up is forgotten."""

MAX_ANSWERS = 4
"""Authorization lines of one request that are read: a PBX that speaks to us and to a carrier may show both."""

MAX_ANSWER_BYTES = 2_048
"""One Authorization value. Those that telephones write have some 300, and anybody may send one: longer ones are not
taken apart."""

MAX_NONCES_COUNTED = 1_024
"""Nonces of ours whose count is remembered, which only right passwords make. Beyond it all that are as old as the one
forgotten are stale: their owners are challenged once more, and nothing can be played back."""

"""Every bound of the protocol, once, with its reason. Spec: the limits tables of `specs/wire.md`, `specs/forward.md`.

Sizes are in bytes, times in seconds, unless the name says otherwise. A bound that protects against hostile input
is called a security limit; the others are tuning.
"""

from typing import Final

# Sizes of fixed values
DIGEST_BYTES: Final = 32
SESSION_ID_BYTES: Final = 16

# The encrypted stream (specs/noise.md, specs/wire.md §Framing)
MAX_NOISE_MESSAGE_BYTES: Final = 65_535
"""Noise §3: the longest Noise message."""
MAX_RECORD_PLAINTEXT_BYTES: Final = 65_519
"""A Noise message less its 16-byte tag."""
MAX_HEADER_BYTES: Final = 4_096
"""Security limit: a message's CBOR header; bounds decoding time."""
BODY_ALIGNMENT_BYTES: Final = 64
"""Tensor bytes start on a cache line."""
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Security limit: a whole message, header and body; two lanes of it are the most a link can hold in reassembly."""
MAX_TENSOR_BYTES: Final = MAX_MESSAGE_BYTES - 2 * MAX_HEADER_BYTES
"""A tensor fits a message with any header: a hop that adds to a step's trace can always pass the step on."""
URGENT_MESSAGE_BYTES: Final = 64 * 1024
"""Messages up to this size travel in the urgent lane, ahead of bulk: decode steps, tokens, control."""
REKEY_MESSAGES: Final = 1 << 10
"""Noise messages per direction before that direction rekeys; a silent link has a ping or pong at least every 2 s."""
MAX_CBOR_DEPTH: Final = 8
"""Security limit: nesting of any CBOR a peer sends."""
URGENT_BURST_RECORDS: Final = 32
"""Urgent records in a row after which one waiting bulk record goes out, so that bulk never starves."""
SEND_QUEUE_BYTES: Final = 32 * 1024 * 1024
"""Security limit: memory queued to one peer that does not read, each message counted with what it takes by itself;
past it the link is closed."""

# Liveness (specs/wire.md §Liveness)
HANDSHAKE_TIMEOUT_S: Final = 5.0
"""Security limit: from accept or connect to an established link."""
DIAL_TIMEOUT_S: Final = 5.0
"""From the first packet of a dial to an established link."""
PING_INTERVAL_S: Final = 2.0
"""Silence from the peer after which a ping is sent."""
ACK_DELAY_S: Final = 0.2
"""The longest a receiver waits before it acknowledges."""
ACK_TIMEOUT_S: Final = 6.0
"""An unacknowledged message or unanswered ping this old means the peer is gone."""
STALL_TIMEOUT_S: Final = 10.0
"""Security limit: within this time an unfinished message must end, or bring `STALL_BYTES` more."""
STALL_BYTES: Final = 64 * 1024
"""The least an unfinished message grows by in `STALL_TIMEOUT_S`."""
CHATTER_BURST: Final = 256
"""Security limit: pings, pongs, acks and unknown messages a peer may send at once; past it the link is closed."""
CHATTER_RATE_HZ: Final = 64.0
"""How many of that allowance come back in a second."""
IDLE_LINK_TIMEOUT_S: Final = 300.0
"""A link without a message but pings this long, and without a session, is closed."""
DUPLICATE_GRACE_S: Final = 2.0
"""The losing one of two links between the same peers is closed after this long without a message."""
GOODBYE_GRACE_S: Final = 1.0
"""How long a closing side waits for its last bytes to leave."""

# Links and peers
MAX_LINKS: Final = 512
"""Security limit: links of one process."""
MAX_LINKS_PER_ADDRESS: Final = 32
"""Security limit: inbound links from one IP address."""
MAX_HANDSHAKES: Final = 64
"""Security limit: inbound links that have not finished their handshake."""

# Values in messages
MAX_LAYERS: Final = 1_024
MAX_VOCABULARY: Final = 4_000_000
MAX_POSITIONS: Final = 1 << 24
MAX_STEP: Final = 1 << 32
MAX_HIDDEN_SIZE: Final = 65_536
MAX_TENSOR_RANK: Final = 4
MAX_AGENT_CHARS: Final = 64
MAX_DETAIL_CHARS: Final = 240
"""Words for a person in a refusal or abort; never a prompt, token or key."""
MAX_NAME_CHARS: Final = 128
MAX_FEATURES: Final = 64
MAX_SLICES_PER_PEER: Final = 8
"""Slices one `hosting` message may name: as many of the longest as fit a header."""
MAX_HOPS: Final = 64
"""Hops of one route: a full trace takes 2.5 KB of a header and leaves room for everything else in it."""
MAX_STEP_TOKENS: Final = 128
"""Tokens of a step that carries their ids: these and a full trace fit a header."""
MAX_TOKENS_PER_MESSAGE: Final = 64
"""Tokens of one answer: these, their alternatives and a full trace fit a header."""
MAX_LOGPROBS: Final = 20

# Sessions (specs/forward.md)
MAX_SESSIONS: Final = 256
"""Security limit: open sessions of one host."""
MAX_SESSIONS_PER_PEER: Final = 64
"""Security limit: open sessions one client may hold at one host."""
SESSION_WINDOW_STEPS: Final = 8
"""Security limit: steps a sender may be ahead of the receiver's last credit; all a host holds of one session."""
MAX_STEP_BYTES: Final = 2 * 1024 * 1024
"""Security limit: hidden states of one step; with the window, what one session can put on a link or in a host."""
OPEN_TIMEOUT_S: Final = 20.0
"""From `open` to `ready` or `refused`, the dial to the next hop included."""
SESSION_IDLE_TIMEOUT_S: Final = 900.0
"""A session without a step this long is closed and its memory freed."""
STEP_TIMEOUT_S: Final = 120.0
"""The longest a client waits for one step of a session."""

# Manifests (specs/weights.md)
MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
"""Security limit: a manifest's bytes; a model of ten thousand large tensors needs an eighth of it."""
CHUNK_BYTES: Final = 4 * 1024 * 1024
"""A tensor's bytes are digested in chunks of this size."""
MAX_SMALL_FILE_BYTES: Final = 64 * 1024 * 1024
"""Security limit: a file beside the weights, which is one chunk; the largest tokenizers have a third of it."""

# Chunks between peers (specs/weights.md)
PEER_BATCH_CHUNKS: Final = 256
"""Security limit: digests one request may name; they take 8 KiB."""
PEER_BATCH_BYTES: Final = 64 * 1024 * 1024
"""Security limit: bytes one answer may carry, unless it is one chunk; bounds how long it holds a place."""
SHARE_BLOCK_BYTES: Final = 1024 * 1024
"""Security limit: what a server reads and holds of one answer at a time."""
SHARE_STEP_BYTES: Final = 256 * 1024
"""The least a reader takes in `SHARE_READ_TIMEOUT_S`: 26 KB/s, which the slowest links have."""
SHARE_READ_TIMEOUT_S: Final = 10.0
"""Security limit: within this time a reader takes a step, or is cut off; a body of digests arrives, too."""
SHARE_IDLE_TIMEOUT_S: Final = 15.0
"""Security limit: a connection without a complete request head is closed after this time."""
SHARE_FIELD_BYTES: Final = 1_024
"""Security limit: a request line, or one header field; the longest that is needed is a signature of 230 bytes."""
SHARE_FIELDS: Final = 32
"""Security limit: header fields of one request."""
MAX_SHARE_CONNECTIONS: Final = 256
"""Security limit: connections of all peers to the chunk server."""
MAX_SHARE_CONNECTIONS_PER_ADDRESS: Final = 32
"""Security limit: connections from one IP address; several peers may share it."""
MAX_SHARE_REQUESTS: Final = 64
"""Security limit: answers under way at once; with the block, the memory they take."""
MAX_SHARE_REQUESTS_PER_PEER: Final = 8
"""Security limit: answers under way to one peer, so that a few peers never take all places."""
MAX_MANIFEST_REQUESTS: Final = 2
"""Security limit: answers under way that need a whole manifest in memory; others wait."""
SHARE_CLOCK_SKEW_S: Final = 60.0
"""How far the time in a signed request may be from the server's clock, either way."""

# Records (specs/dht.md); their times are whole seconds
MAX_RECORD_BYTES: Final = 400
"""Security limit: a record with its signature; three fit a datagram, and the fullest slice record is shorter."""
MAX_RECORD_ADDRESSES: Final = 4
"""Addresses of one record, relays counted: IPv4 and IPv6, of a LAN and of the world."""
MAX_RECORD_RELAYS: Final = 2
"""Relays of one record: one, and one for when it is gone."""
MAX_RECORD_TTL_SECONDS: Final = 30 * 60
"""Security limit: from issue to expiry; a host that died without a word is forgotten after this at the latest."""
RECORD_TTL_SECONDS: Final = 10 * 60
"""What a host gives its records: it announces again after a third of it, and may fail to twice."""
RECORD_SKEW_SECONDS: Final = 2 * 60
"""How far a record's time of issue may lie ahead of the reader's clock."""
MAX_RECORD_NAME_BYTES: Final = 64
"""A model's name in an index record; for people, never for decisions."""
SHARD_LAYERS: Final = 16
"""Layers of one block of a popular model; a host's slice lies in one to three of them."""
CROWDED_RECORDS: Final = 64
"""Records at shard 0 from which a model counts as popular: hosts also announce by blocks, seekers also look there."""
INDEX_SHARDS: Final = 4
"""Keys that the index of models is spread over, by the first bits of the model id."""

# Datagrams (specs/dht.md)
MAX_DATAGRAM_BYTES: Final = 1_280
"""Security limit: a datagram's payload, both ways; close to what every path carries in one piece."""
AMPLIFICATION: Final = 3
"""Security limit: an answer has at most this many times the bytes of its request, whose source may be forged."""
FIND_REQUEST_BYTES: Final = 427
"""What `find` is padded to, so that the longest answer is allowed."""
REQUEST_BYTES: Final = 96
"""What every other request is padded to at least: answers without contacts and records have at most thrice that."""
TRANSACTION_BYTES: Final = 8
"""Random, so that who does not see a request cannot answer it."""
TOKEN_BYTES: Final = 8
"""A write token: who shows it receives at the address it was given to."""
NETWORK_TAG_BYTES: Final = 8
"""What a datagram names its network by."""
NODE_ID_BYTES: Final = 20
"""Kademlia §2: 160 bits."""
MAX_ANSWER_CONTACTS: Final = 20
"""Contacts of one answer: enough that the eight nearest to a key cannot hide those behind them."""
CONTACTS_BESIDE_RECORDS: Final = 6
"""Contacts of an answer that has records, so that there is room for four of them."""
MAX_ANSWER_RECORDS: Final = 8
"""Security limit: records of one answer, whatever their size; bounds the signatures to check."""

# DHT nodes (specs/dht.md)
BUCKET_SIZE: Final = 16
"""Kademlia's k, for the routing table."""
MAX_CONTACTS: Final = 2_048
"""Security limit: contacts of one routing table; ten thousand nodes fill a tenth of it."""
BUCKET_CONTACTS_PER_NETWORK: Final = 2
"""Security limit: contacts of one bucket within one /24 (IPv6: /48), so that no one network fills it."""
TABLE_CONTACTS_PER_NETWORK: Final = 10
"""Security limit: contacts of the whole table within one /24 (IPv6: /48)."""
MAX_PENDING_CHALLENGES: Final = 64
"""Security limit: senders being challenged at once."""
REPLICAS: Final = 16
"""Nodes a record is stored at; half of them are left when the eight nearest lie."""
SEARCH_WIDTH: Final = 10
"""Nearest living nodes that a search has asked before it ends."""
MAX_SEARCH_WIDTH: Final = 20
"""Nearest living nodes that it asks when few of the ten know what others do."""
SEARCH_AGREEMENT: Final = 6
"""Nodes that know about as much as was found, from which a search does not widen."""
SEARCH_IN_FLIGHT: Final = 4
"""Kademlia's alpha: requests of one search under way, slow ones not counted."""
SEARCH_PATHS: Final = 3
"""S/Kademlia §4.4: parts of a search that share no node, taken in turn, so that a liar leads one of them astray."""
MAX_SEARCH_REQUESTS: Final = 160
"""Security limit: requests of one search, whatever it is told."""
SEARCH_DEADLINE_S: Final = 10.0
"""Security limit: a search ends with what it has."""
MAX_CANDIDATES: Final = 800
"""Security limit: contacts one search keeps."""
SEARCH_CONTACTS_PER_NETWORK: Final = 3
"""Security limit: nodes within one /24 (IPv6: /48) that one search asks."""
SLOW_LEAST_S: Final = 0.05
"""The least time after which a request counts as slow, its place is given away and it is sent once more."""
SLOW_MOST_S: Final = 0.5
"""The most time after which it does."""
LOST_AFTER_S: Final = 1.2
"""Time from a request's first sending after which nothing is expected."""
DEAD_FOR_S: Final = 120.0
"""How long a node that did not answer is not tried again by searches."""
MAX_DEAD: Final = 2_048
"""Security limit: nodes remembered as dead."""
MAX_OUTSTANDING: Final = 512
"""Security limit: requests of one node under way."""
TOKEN_LIFE_S: Final = 300.0
"""How long one secret makes write tokens; they are good for one to two of these."""
SOURCE_RATE_HZ: Final = 100.0
"""Security limit: datagrams per second from one IPv4 address or IPv6 /64; loopback is exempt."""
SOURCE_BURST: Final = 200
"""Security limit: datagrams at once from one source."""
MAX_SOURCES: Final = 4_096
"""Security limit: sources that are counted one by one; the longest silent are forgotten."""
MUTED_S: Final = 60.0
"""How long an address that sent a forged signature is not listened to; the cost of its next ones is nearly nothing."""
VAIN_CHECKS_PER_SOURCE: Final = 16
"""Security limit: signatures checked in vain within `MUTED_S` for those of one source that never showed a right one."""
FRUITLESS_BURST: Final = 64
"""Security limit: answers at once to records from one address that change nothing, as many as a host may have here.
The unknown addresses of one source share as many; loopback does not."""
FRUITLESS_HZ: Final = 4.0
"""Security limit: the same, per second; a host whose clock is off needs half of it to be told."""
MAX_CONDUCTS: Final = 4_096
"""Security limit: addresses, and sources, that have shown a token and are remembered for what they sent."""
MAX_STORED_RECORDS: Final = 20_000
"""Security limit: records one node keeps; about 10 MB."""
MAX_STORED_PER_KEY: Final = 256
"""Security limit: records of one key."""
MAX_STORED_PER_HOST: Final = 64
"""Security limit: records of one host, of all keys."""
MAX_STORED_PER_NETWORK: Final = 512
"""Security limit: records stored from one /24 (IPv6: /48); loopback is exempt."""
MAX_STORED_PER_KEY_AND_NETWORK: Final = 64
"""Security limit: records of one key stored from one /24 (IPv6: /48), a quarter of its room; loopback is exempt."""
MAX_INDEX_PER_MODEL: Final = 4
"""Index records of one model that one node keeps: they all say the same."""
STORE_NEARER: Final = 48
"""A node refuses a record when it knows this many nodes nearer to its key."""
REFRESH_INTERVAL_S: Final = 900.0
"""How often buckets far away are filled again, and the least recently seen contacts asked whether they live."""
MAX_PEER_CACHE: Final = 256
"""Contacts kept on disk for the next start."""
REACH_INTERVAL_S: Final = 600.0
"""How often a node has its address proven again by a dial-back."""
REACH_RETRY_S: Final = 20.0
"""How soon it tries again while nobody has dialled back."""
KNOCK_TIMEOUT_S: Final = 3.0
"""How long it waits for the dial-back it asked for."""

# Roads to peers (specs/discovery.md)
MAX_INVITED_CONTACTS: Final = 8
"""Contacts of a join string, which a person copies; a few of different machines are enough to begin with."""
MAX_INVITATION_BYTES: Final = 768
"""Security limit: what a join string carries; that many contacts and the longest network name fit."""
MAX_BOOTSTRAP_CONTACTS: Final = 64
"""Contacts of a bootstrap list."""
MAX_BOOTSTRAP_BYTES: Final = 8 * 1024
"""Security limit: a bootstrap list with its signature; the most contacts take half of it."""
MAX_BOOTSTRAP_DAYS: Final = 400
"""From issue to expiry of a bootstrap list: a yearly one, and a month to spare."""
MAX_PEERS_TOLD: Final = 32
"""Security limit: peers of one `peers` message; that many fit a header."""
PEERS_INTERVAL_S: Final = 60.0
"""How long a side waits before it asks the same link for peers again; who asks sooner is told of none."""
MAX_LAN_TEXT_BYTES: Final = 256
"""Security limit: the TXT record of an announcement on a LAN; it needs 100 bytes."""

# Reachability (specs/reachability.md)
DIAL_BACK_NONCE_BYTES: Final = 16
DIAL_BACK_TIMEOUT_S: Final = 12.0
"""From `dial_back` to its answer: a dial, and a moment on both sides."""
DIAL_BACK_INTERVAL_S: Final = 10.0
"""Security limit: between two dial-backs for one peer."""
MAX_DIAL_BACKS_PER_IP: Final = 8
"""Security limit: dial-backs to one IP address within `DIAL_BACK_INTERVAL_S`; several hosts may be behind one."""
MAX_DIAL_BACKS: Final = 4
"""Security limit: dial-backs under way at once for all peers."""
LEAST_DIAL_BACK_PORT: Final = 1_024
"""Security limit: nobody is dialled back below it, so that no mail or name server is bothered."""
PROBE_DATAGRAMS: Final = 2
"""Datagrams of one UDP dial-back; they are 32 bytes each and less than the question in all."""
BRIEF_LINK_S: Final = 2.0
"""Security limit: how long a link that was opened for one `proof` may last once it is established."""

# Relays (specs/reachability.md)
CIRCUIT_ID_BYTES: Final = 16
RELAY_DATA_BYTES: Final = 32 * 1024
"""Bytes of one `relay_data`: it travels in the urgent lane, so that the stream inside keeps its order."""
RELAY_WINDOW_BYTES: Final = 512 * 1024
"""Security limit: bytes under way in one direction of a circuit; all a relay holds of it. 5 MB/s at 100 ms."""
RELAY_OPEN_TIMEOUT_S: Final = 4.0
"""From `relay_connect` to its answer; less than a dial may take."""
MAX_RESERVATION_SECONDS: Final = 86_400
"""The longest reservation a host believes."""
RESERVATION_SECONDS: Final = 3_600
"""How long a reservation holds unless it is renewed; hosts renew at half of it."""
MAX_RESERVATIONS: Final = 32
"""Security limit: hosts one relay carries links for."""
MAX_CIRCUITS: Final = 64
"""Security limit: circuits of one relay; with the window, 64 MiB at the worst."""
MAX_CIRCUITS_PER_PEER: Final = 8
"""Security limit: circuits of one relay to one host, and from one client."""
CIRCUIT_BYTES: Final = 1024 * 1024 * 1024
"""What one circuit may carry, unless the relay's owner says otherwise: a prefill of 60,000 tokens."""
CIRCUIT_SECONDS: Final = 3_600
"""How long one circuit may last, unless the relay's owner says otherwise."""
RELAY_REQUEST_BURST: Final = 16
"""Security limit: reservations and circuits one peer may ask of a relay at once."""
RELAY_REQUEST_RATE_HZ: Final = 1.0
"""How many of that allowance come back in a second."""

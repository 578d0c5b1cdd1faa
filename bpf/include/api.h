/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the kernel programs and Python: every struct and enum that both sides touch.
 *
 * Python reads the layouts from the BTF of the compiled objects (datapath/ebpf/btf.py), so this file
 * is their only source. Natural alignment, explicit padding, never packed. All numbers are host
 * order unless the comment says "network order".
 */
#ifndef WW_API_H
#define WW_API_H

enum ww_option {
	WW_OPTION_KIND = 253,	/* RFC 3692-style experiment, shared by ExID (RFC 6994) */
	WW_OPTION_EXID = 0x5757,	/* "WW" */
	WW_OPTION_VERSION = 1,
	WW_SYN_OPTION = 20,	/* bytes; all that a full Linux SYN leaves */
	WW_SYNACK_OPTION = 20,
	WW_ACK_OPTION = 28,	/* beside a 12-byte timestamp option */
};

/* The trailer of a datagram: a UDP option (RFC 9868) in the bytes behind the UDP length. */
enum ww_trailer {
	WW_TRAILER_KIND = 127,		/* EXP, shared by ExID */
	WW_TRAILER_EXID = 0x5757,	/* "WW" */
	WW_TRAILER_VERSION = 1,
	WW_TRAILER_SIZE = 44,		/* bytes with the option checksum, without the pad of odd lengths */
	WW_TRAILER_LARGEST = 1280,	/* IP packets that a trailer may make this long; larger go behind a bodyless one */
};

/* What a trailer says; the same number begins its transcript. */
enum ww_message {
	WW_MESSAGE_HELLO = 5,		/* client: who calls, nothing proved yet */
	WW_MESSAGE_SESSION = 6,		/* client: proof under a session that the two have */
	WW_MESSAGE_CHALLENGE = 7,	/* client: proof for the nonce of a bounce */
	WW_MESSAGE_BOUNCE = 8,		/* server: who is called, a nonce to prove for */
	WW_MESSAGE_ANSWER = 9,		/* server: its proof, and the session for what comes later */
};

enum ww_limit {
	WW_MAX_LEVELS = 16,	/* depth of cgroups that can hold a unit */
	WW_YOUNG_ROW = 12,	/* the kernel hands cookies out to each CPU in rows of 1 << 12 */
	WW_YOUNG_ROWS = 16,	/* rows with slots of their own; power of two */
	WW_YOUNG_FIRST = 64,	/* slots of a row that are used over and over; power of two */
	WW_YOUNG_SECOND = 512,	/* slots of a row for when those are taken; power of two */
	WW_YOUNG_SLOTS = WW_YOUNG_ROWS * (WW_YOUNG_FIRST + WW_YOUNG_SECOND),
	WW_YOUNG_PATIENCE = 1024,	/* jiffies, one to ten seconds, after which a handshake is taken for given up */
	WW_MAX_LIVE = 131072,	/* connections older than a second; more are refused, none is evicted */
	WW_MAX_ENFORCERS = 8192,	/* peer Enforcers with keys at once */
	WW_MAX_PEERS = 65536,	/* badges known at once */
	WW_MAX_UNITS = 8192,	/* cgroups that place a unit */
	WW_MAX_VERDICTS = 1048576,
	WW_MAX_PREFIXES = 131072,	/* of both banks */
	WW_BANK_BITS = 32,
	WW_MAX_FLOWS = 65536,	/* aggregated flows */
	WW_MAX_UDP_FLOWS = 65536,	/* datagram flows between identities; the least recently used proves itself anew */
	WW_MAX_SESSIONS = 16384,	/* pairs of units that have proved themselves by datagram, each way */
	WW_MAX_PLACES = 16384,		/* addresses and ports at which somebody has proved himself */
	WW_PARKED = 1024,		/* datagrams that may be called for again; power of two */
	WW_PARKED_SIZE = 1536,		/* bytes of UDP header and payload; multiple of 512 */
	WW_BOUNCES = 4096,		/* sources whose bounces are counted apart; power of two */
	WW_WINDOW = 1024,		/* how far calls of one session may overtake each other; power of two */
	WW_MAX_DATAGRAMS = 65536,	/* datagram flows awaiting replies */
	WW_SNAP_MAX = 16384,	/* bytes told of one captured packet at most */
	WW_MAX_SUFFIXES = 32768,	/* patterns of host names, of both banks */
	WW_MAX_SPELLED = 16384,	/* names that some unit has learned an address of */
	WW_MAX_LEARNED = 65536,	/* (unit, address) pairs */
	WW_MAX_ASKED = 8192,	/* DNS questions under way */
	WW_MAX_RESOLVERS = 64,
	WW_MAX_LOOKUPS = 16384,	/* aggregated DNS look-ups */
	WW_NAME_SIZE = 256,	/* room for a host name; none is longer than 253 */
	WW_NAMES_EACH = 8,	/* names of one address; further ones need to say the same as one of them */
	WW_ALIASES = 8,		/* names in a chain of aliases, with the one asked for */
	WW_DNS_MESSAGE = 4096,	/* bytes; longer answers are not read here */
	WW_MAX_EXCLUDED = 256,		/* devices that are left alone */
	WW_DEVICE_NAME = 16,	/* room for a device's name; the kernel's IFNAMSIZ */
	WW_BAD_PROOFS = 8,		/* wrong SYN-ACK proofs after which a connecting socket gives up */
};

/* Fixed peer classes; policy/tables.py has the same numbers and a test compares them. */
enum ww_class {
	WW_CLASS_NONE = 0,
	WW_CLASS_SOMEWHERE = 1,
	WW_CLASS_EXCLUDED = 2,	/* an address that is left alone; verdicts say so too */
	WW_CLASS_FIRST = 16,
};

enum ww_direction {
	WW_IN = 0,
	WW_OUT = 1,
};

enum ww_action {
	WW_REJECT = 0,
	WW_ALLOW = 1,
};

/* Why a packet was let through or not. Numbers are never reused; docs/reasons.md explains each. */
enum ww_reason {
	WW_REASON_POLICY = 0,		/* the tables said so */
	WW_REASON_BADGE_UNKNOWN = 1,	/* the option's badge is in no table */
	WW_REASON_KEY_MISSING = 2,	/* no pairwise key for that Enforcer and epochs */
	WW_REASON_PROOF_WRONG = 3,	/* the MAC does not fit the transcript */
	WW_REASON_PROOF_MISSING = 4,	/* an identity was announced and not proved */
	WW_REASON_UNIT_UNKNOWN = 5,	/* the socket belongs to no unit that has a badge */
	WW_REASON_MALFORMED = 6,	/* headers that this datapath does not parse are denied */
	WW_REASON_SYN_PAYLOAD = 7,	/* data before proof (TCP Fast Open) */
	WW_REASON_SIMULTANEOUS = 8,	/* SYN to a connecting socket */
	WW_REASON_STATE_MISSING = 9,	/* established socket without a record of its admission */
	WW_REASON_REVOKED = 10,		/* a later revision refuses a live flow */
	WW_REASON_TABLES_EMPTY = 11,	/* no revision has been applied yet */
	WW_REASON_STRAY = 12,		/* segment for a listener that opens nothing */
	WW_REASON_NO_MEMORY = 13,	/* the kernel could not store the flow */
	WW_REASON_EXISTING = 14,	/* older than the Enforcer, judged by address: policy allows it */
	WW_REASON_EXISTING_REFUSED = 15,	/* the same, and policy refuses it: kept or cut, see the action */
	WW_REASON_QUOTE_UNKNOWN = 16,	/* an ICMP error about nothing that this unit has sent or was sent */
	WW_REASON_EXCLUDED = 17,	/* its device is left alone: nobody was asked */
	WW_REASON_MAX = 18,
};

/* Exact counters beside the reasons. */
enum ww_counter {
	WW_COUNT_DROPPED = 0,		/* + reason: packets dropped, by reason */
	WW_COUNT_STAMPED_SYN = 32,
	WW_COUNT_STAMPED_SYNACK = 33,
	WW_COUNT_STAMPED_ACK = 34,
	WW_COUNT_STAMP_NO_ROOM = 35,	/* SYN whose own options leave no 20 bytes */
	WW_COUNT_STAMP_FAILED = 36,	/* the kernel refused to grow the packet */
	WW_COUNT_PROVED = 37,		/* connections proved, as server */
	WW_COUNT_FLOW_LOST = 38,	/* observations for which the flow table had no room */
	WW_COUNT_EVENT_LOST = 39,	/* events for which the ring had no room */
	WW_COUNT_EXISTING = 40,		/* connections older than the Enforcer, kept */
	WW_COUNT_SYNACK_UNKNOWN = 41,	/* SYN-ACK held back: its SYN is not known any more */
	WW_COUNT_EXCLUDED = 42,		/* packets of handshakes and datagrams on devices that are left alone */
	WW_COUNT_NAME_LOST = 56,	/* DNS answers withheld: what they say found no room */
	WW_COUNT_LOOKUP_LOST = 57,	/* DNS look-ups for whose report the table had no room */
	WW_COUNT_ANSWER_STRAY = 58,	/* DNS answers of known resolvers that nobody had asked for */
	WW_COUNT_ANSWER_UNREAD = 59,	/* DNS answers of which nothing was learned: truncated, or not understood */
	WW_COUNT_STAMPED_DATAGRAM = 64,	/* trailers written, bounces aside */
	WW_COUNT_BOUNCED = 65,		/* datagrams without a proof, bounced */
	WW_COUNT_BOUNCE_LIMITED = 66,	/* those that were not, because too many were */
	WW_COUNT_UDP_PROVED = 67,	/* datagram flows proved, as server */
	WW_COUNT_UDP_RESENT = 68,	/* datagrams sent again after a bounce */
	WW_COUNT_UDP_UNPARKED = 69,	/* first datagrams too large to be sent again: lost */
	WW_COUNT_UDP_LATE = 70,		/* bounces of datagrams that are not kept any more */
	WW_COUNT_MAX = 71,
};

/* The two looks at all sockets by which connections older than the Enforcer get their records. */
enum ww_adopting {
	WW_ADOPTING_NONE = 0,
	WW_ADOPTING_RECORDS = 1,	/* each gets one */
	WW_ADOPTING_NEIGHBOURS = 2,	/* whose other end is on this host too is told so, and all are judged */
};

/*
 * One word decides which tables are in force: programs use bank (generation & 1). The agent fills
 * the other bank and then writes generation, so a revision takes effect at once and as a whole.
 */
struct ww_state {
	__u32 generation;	/* 0: nothing applied yet, everything is refused */
	__u32 revision;		/* the Console's number, for records */
	__u64 secret[2];	/* of this host only; makes nonces unpredictable */
	__u32 levels;		/* bit n: some unit is placed at cgroup depth n */
	__u32 epoch;		/* our newest datapath key epoch */
	__u64 root;		/* cgroup id of the Enforcer's root */
	__u32 root_level;
	__u32 swept;		/* generation under which every live connection has been judged */
	__u32 tally;		/* number of the agent's last look at all sockets */
	__u32 adopting;		/* enum ww_adopting: that look is about connections older than the Enforcer */
	__u64 agent;		/* cgroup id of the agent, whose own connections are always allowed */
	__u32 cut_existing;	/* 1: connections older than the Enforcer end where policy refuses them */
	__u32 before;		/* the revision in force before this one */
	__u32 named;		/* bit n: the tables of bank n have host names */
	__u32 forgetting;	/* number of the agent's last pass over what was learned */
	__u32 namespace;	/* inode of the agent's network namespace */
	__u32 excluding;	/* 1: some device is left alone */
};

/* A device that is left alone. */
struct ww_device {
	char name[WW_DEVICE_NAME];	/* filled up with NUL */
};

/* cgroup id -> unit placed there */
struct ww_unit {
	__u32 badge;
	__u32 class[2];		/* by bank; WW_CLASS_NONE: not in force there */
	__u32 pad;
};

/* badge -> peer */
struct ww_peer {
	__u32 enforcer;		/* index into keys */
	__u32 class[2];		/* by bank; WW_CLASS_NONE: not in force there */
};

/* Pairwise keys with one Enforcer, by [our epoch & 1][its epoch & 1]; valid says which are set. */
struct ww_keys {
	__u64 key[2][2][2];
	__u32 own_epoch[2];
	__u32 peer_epoch[2];
	__u32 valid;		/* bit (own & 1) * 2 + (peer & 1) */
	__u32 newest;		/* the peer's newest epoch */
};

/*
 * The bank comes first, so that a prefix of one bank never hides a shorter one of the other. All of it
 * counts as the beginning of the prefix: length is WW_BANK_BITS and that of the prefix.
 */
struct ww_prefix4 {
	__u32 length;
	__u32 bank;
	__u8 address[4];
};

struct ww_prefix6 {
	__u32 length;
	__u32 bank;
	__u8 address[16];
};

struct ww_prefix_class {
	__u32 class;
};

/* Segment number of every port of one protocol, or of every type and code. */
struct ww_segments {
	__u16 number[65536];
};

/*
 * Peer class before direction and port: the wildcard look-ups clear the tail of the key only.
 */
struct ww_verdict_key {
	__u32 local;
	__u32 peer;
	__u8 bank;
	__u8 direction;
	__u8 protocol;
	__u8 pad;
	__u32 segment;
};

enum ww_verdict_flag {
	WW_VERDICT_EXPLICIT = 1,	/* a rule rejects: answer, do not let it time out */
	WW_VERDICT_LOG = 2,
	WW_VERDICT_OBSERVED = 4,	/* observed_rule is set */
	WW_VERDICT_OBSERVED_ALLOW = 8,
	WW_VERDICT_REACHABLE = 16,	/* outgoing, no peer class: some identity may be allowed here */
};

struct ww_verdict {
	__u8 action;
	__u8 flags;
	__u16 pad;
	__u32 rule;		/* the agent's number for a rule key; 0 for a default */
	__u32 observed_rule;
};

/* A remote transport address; IPv4 is ::ffff:a.b.c.d. Network order. */
struct ww_address {
	__u32 word[4];
};

/* Names a live connection: the socket's own view of it, so that NAT on this host does not matter. */
struct ww_flow_id {
	struct ww_address local;
	struct ww_address remote;
	__u16 remote_port;	/* network order */
	__u16 local_port;	/* network order */
	__u32 device;		/* index of the device left alone on which it came about, else 0; no part of the name */
	__u64 cgroup;		/* of the socket; tells apart equal tuples in different namespaces */
};

/* One end of a connection, whatever its cgroup. */
struct ww_end {
	struct ww_address local;
	struct ww_address remote;
	__u16 local_port;	/* network order */
	__u16 remote_port;	/* network order */
};

/*
 * How a connection was judged. What decides stands in the last eight bytes, which are written at once:
 * two CPUs that judge by different tables never leave a mixture.
 */
struct ww_judgement {
	__u32 rule;
	__u32 observed_rule;
	__u32 generation;	/* of the tables that judged it last; 0 in a slot: its handshake is not over */
	__u8 action;
	__u8 flags;		/* of the verdict */
	__u8 reason;
	__u8 pad;
};

/*
 * A handshake: what was announced, and what proves it. Once it is over, the record of the young connection. What most
 * packets need is in the first half, one cache line.
 */
struct ww_young {
	__u64 cookie;		/* of the socket, or of the request that becomes one; 0: nobody's */
	__u64 place;		/* cgroup id that places the local end */
	struct ww_judgement judged;
	__u32 busy;		/* 1 while one CPU has the slot to itself */
	__u32 unit;
	__u32 peer;		/* badge, 0 without: at the server what was announced, at the client what has been proved */
	__u32 client_isn;
	__u32 server_isn;	/* at the server: of the last SYN-ACK */
	__u32 enforcer;		/* at the server: index of the client's Enforcer */
	__u16 dialled;		/* server's port as the client sees it, host order */
	__u8 epoch;		/* the client's, announced in the SYN */
	__u8 server_epoch;	/* at the client: the server's, answered in the SYN-ACK */
	__u8 direction;
	__u8 bad_proofs;	/* at the client */
	__u16 began;		/* jiffies */
	struct ww_flow_id id;
	__u64 nonce;		/* the client's */
	__u64 reply;		/* at the client its proof; at the server its nonce, which saves computing it again */
};

/* Everything known about one live connection that has outgrown its slot; found by a hash of its id. */
struct ww_flow {
	struct ww_flow_id id;
	struct ww_judgement judged;
	__u64 place;		/* cgroup id that places the local end */
	__u64 nonce;		/* client's */
	__u64 proof;		/* client's, over the whole transcript */
	__u64 opened;		/* ns since boot, when it came here */
	__u64 bytes_in;		/* already aggregated */
	__u64 bytes_out;
	__u32 segments_in;
	__u32 segments_out;
	__u32 unit;		/* badge of the local end */
	__u32 peer;		/* badge of the remote end, 0 without identity */
	__u32 server_isn;
	__u32 tally;		/* the agent's last look that found its socket */
	__u16 port;		/* the server's port as this end sees it, host order */
	__u8 direction;
	__u8 epoch;		/* ours, announced in the SYN */
	__u8 server_epoch;	/* the server's, answered in the SYN-ACK */
	__u8 counted;		/* the connection is in the aggregate */
	__u8 existing;		/* older than the Enforcer: judged by address; peer is known, never proved */
	__u8 half_closed;	/* the other end has our FIN; the kernel may give up the socket without a packet */
	__u32 revision;		/* that admitted it, or was in force when it was adopted; 0 until the agent looks */
	__u32 latency_us;	/* smoothed round trip when the agent looked first */
};

/* Aggregate of all connections that look alike to a person. */
struct ww_flow_key {
	__u32 unit;
	__u32 peer;
	struct ww_address remote;	/* zero for a peer with identity */
	__u32 rule;
	__u32 observed_rule;
	__u16 port;
	__u8 protocol;
	__u8 direction;
	__u8 action;
	__u8 reason;
	__u8 flags;			/* of the verdict */
	__u8 proved;
};

struct ww_flow_counts {
	__u64 connections;
	__u64 packets_in;
	__u64 packets_out;
	__u64 bytes_in;
	__u64 bytes_out;
	__u64 latency_us;	/* sum of first round-trip samples of connections opened here */
	__u64 first_seen;	/* ns since boot */
	__u64 last_seen;
	__u32 revision;
	__u32 pad;
};

/* Datagram flow started from this host: replies are free, and a local receiver learns the sender. */
struct ww_datagram_key {
	struct ww_address local;
	struct ww_address remote;
	__u16 local_port;	/* network order */
	__u16 remote_port;	/* network order */
	__u32 protocol;
};

struct ww_datagram {
	__u32 unit;
	__u32 generation;	/* of the tables that judged it last */
	__u16 port;		/* that they were asked about, host order */
	__u8 direction;		/* of the packet that began it */
	__u8 by_address;	/* and by nothing else: the tables may be asked again about any packet of it */
	__u32 pad;
};

/*
 * One datagram flow between identities, found by its two ends as they are on the wire. On the client's side it
 * says what to stamp, on the server's who has proved to be the client.
 */
struct ww_udp_flow {
	__u64 nonce;		/* client's; names the flow */
	__u64 server_nonce;	/* the client proves for it; in answers, of the session */
	__u64 proof;		/* what is stamped, once it is known */
	__u64 opened;		/* ns since boot, all four */
	__u64 seen;
	__u64 stamped;
	__u64 asked;		/* server: when the client last stamped; client: when the server first proved itself */
	__u32 unit;		/* badge of the local end */
	__u32 peer;		/* badge of the remote end, 0 until known */
	__u32 generation;	/* of the tables that judged it last */
	__u16 dialled;		/* the server's port as the client knows it */
	__u16 port;		/* the server's port as this end sees it */
	__u8 epoch;		/* client's key epoch */
	__u8 server_epoch;
	__u8 direction;
	__u8 action;
	__u8 message;		/* what the client stamps */
	__u8 answered;		/* client: the server has proved itself on this flow */
	__u8 by_address;	/* client: the address alone would do */
	__u8 owed;		/* answers to be stamped */
	__u8 tries;
	__u8 pad[7];
};

/* Two units, the local one first. */
struct ww_udp_pair {
	struct ww_address client;	/* its end's address, as the packets say here */
	__u32 unit;
	__u32 peer;
};

/* A session as the client knows it. */
struct ww_udp_opened {
	__u64 nonce;
	__u64 calls;		/* flows opened under it */
	__u8 epoch;
	__u8 server_epoch;
	__u8 pad[6];
};

/* A session as the server knows it, with the calls it has seen: none opens a second flow. */
struct ww_udp_admitted {
	__u64 nonce;
	__u64 since;		/* ns since boot */
	__u64 highest;
	__u64 bits[16];		/* by call number modulo WW_WINDOW */
	__u32 busy;
	__u32 pad;
};

/* Where somebody was reached by datagram, as addresses are on the wire. */
struct ww_udp_place {
	struct ww_address address;
	__u16 port;		/* network order */
	__u16 pad;
};

struct ww_udp_resident {
	__u64 seen;
	__u32 badge;
	__u32 pad;
};

/* How what is kept of a datagram has to be sent again. */
enum ww_kept {
	WW_KEPT_WHOLE = 0,	/* with a trailer in it or ahead of it */
	WW_KEPT_PART = 1,	/* the same, in several pieces that make one packet */
	WW_KEPT_FRAGMENT = 2,	/* a packet as it stands, behind the proof */
	WW_KEPT_SEGMENT = 3,	/* one datagram of a buffer of many, behind the proof */
};

/*
 * A datagram that has left without certainty that it was let in, to be sent again if it is bounced; or a piece of one,
 * which names the next.
 */
struct ww_udp_parked {
	struct ww_datagram_key key;
	__u64 nonce;
	__u64 place;		/* cgroup id that places the sender */
	__u32 ticket;		/* 0: nothing here */
	__u32 ifindex;
	__u32 at;		/* where the IP header begins */
	__u32 length;		/* of the body; of the first piece 0: the whole is too large to be kept */
	__u32 sent;		/* 1: the data has left with the call, 0: the call alone */
	__u32 next;		/* ticket of the piece behind this one; 0: it is the last */
	__u32 kind;		/* enum ww_kept */
	__u32 number;		/* of the piece, from 0 */
	__u64 when;		/* ns since boot */
	__u8 head[56];		/* link-layer and IP header */
	__u8 body[1544];	/* UDP header and payload; WW_PARKED_SIZE, and what sums over whole words need */
};

/* Numbers that the agent gives to names. */
enum ww_name_kind {
	WW_NAME_RULE = 1,
	WW_NAME_ENFORCER = 2,
};

struct ww_name_key {
	__u32 kind;
	__u32 number;
};

struct ww_name {
	char text[192];
};

/* host name from its end, closed by a zero; a pattern *.domain stops at the dot before the star */
struct ww_suffix {
	__u32 length;		/* in bits, of bank and text */
	__u8 bank;
	__u8 text[255];
};

/* A name that some unit has learned an address of; its key is a keyed hash of it. */
struct ww_spelled {
	__u32 class[2];		/* by bank; WW_CLASS_NONE: in no network there */
	__u32 used;		/* the agent's last pass that found an address under it */
	__u32 length;
	__u8 text[WW_NAME_SIZE];
};

struct ww_learned_key {
	__u32 unit;
	__u32 pad;
	struct ww_address address;
};

/* Under which names a unit has learned an address. */
struct ww_learned {
	__u64 names[2 * WW_NAMES_EACH];	/* pairs: key of a name, 0 for none; until when it is good, ns since boot */
	__u64 kept;		/* ns since boot when a live connection was last seen */
	__u32 busy;		/* 1 while one CPU has the entry to itself */
	__u32 pad;
};

/* A DNS question under way: from which socket, which question. */
struct ww_asked_key {
	__u64 socket;		/* cookie */
	__u64 name;		/* keyed hash of the name */
	__u16 id;		/* network order */
	__u16 type;
	__u32 unit;
};

struct ww_asked {
	struct ww_address resolver;
	__u64 at;		/* ns since boot */
};

enum ww_lookup_result {
	/* 0 to 15: the answer's response code; 0: it has addresses */
	WW_LOOKUP_EMPTY = 16,		/* no error, no address */
	WW_LOOKUP_TRUNCATED = 17,	/* to be asked again over TCP */
	WW_LOOKUP_UNREAD = 18,		/* not understood, nothing learned */
	WW_LOOKUP_LOST = 19,		/* withheld: what it says found no room */
};

struct ww_lookup_key {
	__u64 name;
	__u32 unit;
	__u16 type;
	__u16 result;		/* enum ww_lookup_result */
};

/* Aggregate of all look-ups that look alike to a person. */
struct ww_lookup {
	__u64 count;
	__u64 first_seen;	/* ns since boot */
	__u64 last_seen;
	__u32 addresses;	/* in the last answer */
	__u32 length;		/* of the name */
	struct ww_address resolver;
	__u8 text[WW_NAME_SIZE];
};

enum ww_event_kind {
	WW_EVENT_BADGE_UNKNOWN = 1,
	WW_EVENT_REFUSED = 2,	/* an explicit reject of a SYN: the client is owed an RST */
	WW_EVENT_ABORT = 3,	/* the server's proved identity is refused: the local socket is to end */
	WW_EVENT_STRAY = 4,	/* written by tally: a socket without a record of its admission */
	WW_EVENT_NAME = 8,	/* an answer for unit (badge) was not read; socket: the name, sequence: the type */
};

struct ww_event {
	__u32 kind;
	__u32 badge;
	struct ww_address local;
	struct ww_address remote;
	__u16 local_port;	/* network order */
	__u16 remote_port;	/* network order */
	__u32 sequence;		/* of the SYN, host order */
	__u64 netns;		/* cookie */
	__u64 socket;		/* cookie, 0 where it is not known */
};

/* Which packets a capture wants; written before its programs are in force. */
struct ww_filter {
	struct ww_address remote;	/* compared in its first bits */
	__u32 bits;		/* 0: whatever the remote address is */
	__u32 unit;		/* badge */
	__u32 snap;		/* bytes told of each packet, from the IP header on */
	__u32 rate;		/* packets told in a second, on the whole host */
	__u16 port;		/* of either end, host order; 0: any */
	__u8 pad[6];
};

enum ww_known {
	WW_KNOWN_RECORD = 1,	/* the connection has a record: peer and rule are its */
	WW_KNOWN_EXISTING = 2,	/* ... and is older than the Enforcer */
	WW_KNOWN_RULE = 4,	/* the refusal said who was refused, and by which rule */
};

/* A packet that was judged; its bytes follow, from the IP header on. */
struct ww_captured {
	__u64 time;		/* ns since boot */
	__u32 unit;		/* badge of the local end */
	__u32 peer;		/* badge of the remote end, 0 for none that is known here */
	__u32 rule;		/* the agent's number for a rule key; 0 for a default */
	__u32 revision;
	__u32 length;		/* of the IP packet; may be more than is told */
	__u32 told;		/* bytes that follow */
	__u32 device;		/* index of the interface */
	__u8 direction;
	__u8 action;
	__u8 reason;
	__u8 known;		/* enum ww_known */
};

/* Packets that a capture wanted and did not get. */
enum ww_missed {
	WW_MISSED_RATE = 0,	/* more in a second than were asked for */
	WW_MISSED_ROOM = 1,	/* the reader was too slow */
	WW_MISSED_MAX = 2,
};

#endif /* WW_API_H */

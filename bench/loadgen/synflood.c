// `synflood`: half-open connections from random sources of a prefix, optionally with a TCP option of
// which a part is random in every packet. For attack tests inside namespaces.
#include "loadgen.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define ROOM 128

struct flood {
	const struct settings *settings;
	int socket;
	bool framed;
	uint8_t own_mac[6];
	uint64_t state;
	uint8_t packets[BATCH][ROOM];
	size_t sizes[BATCH];
};

// SplitMix64: fast, and good enough to spread sources and nonces.
static uint64_t draw(struct flood *flood)
{
	uint64_t z = flood->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint32_t add_up(uint32_t sum, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i += 2)
		sum += bytes[i] << 8 | (i + 1 < size ? bytes[i + 1] : 0);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

// An address of the prefix, with all bits behind it random.
static void draw_source(struct flood *flood, uint8_t *address, const uint8_t *prefix, unsigned bytes)
{
	unsigned bits = flood->settings->prefix_bits;

	for (unsigned i = 0; i < bytes; i++) {
		unsigned fixed = bits >= (i + 1) * 8 ? 8 : bits > i * 8 ? bits - i * 8 : 0;
		uint8_t mask = 0xff00 >> fixed;

		address[i] = (prefix[i] & mask) | ((uint8_t)draw(flood) & ~mask);
	}
}

static size_t build_tcp(struct flood *flood, uint8_t *at)
{
	const struct settings *settings = flood->settings;
	size_t padded = (settings->option_size + 3) & ~3ul;
	struct tcphdr head = {
		.source = htons(1024 + draw(flood) % 64512),
		.dest = htons(settings->port),
		.seq = draw(flood),
		.doff = 5 + padded / 4,
		.syn = 1,
		.window = htons(64240),
	};

	memcpy(at, &head, sizeof(head));
	memset(at + sizeof(head), 0, padded);
	memcpy(at + sizeof(head), settings->option, settings->option_size);
	for (unsigned i = 0; i < settings->random_size; i++)
		at[sizeof(head) + settings->random_at + i] = draw(flood);
	return sizeof(head) + padded;
}

static size_t build_four(struct flood *flood, uint8_t *at)
{
	const struct settings *settings = flood->settings;
	struct iphdr head = {.ihl = 5, .version = 4, .frag_off = htons(IP_DF), .ttl = 64, .protocol = IPPROTO_TCP};
	size_t size = build_tcp(flood, at + sizeof(head));

	head.tot_len = htons(sizeof(head) + size);
	draw_source(flood, (void *)&head.saddr, (void *)&((struct sockaddr_in *)&settings->prefix)->sin_addr, 4);
	head.daddr = ((struct sockaddr_in *)&settings->address)->sin_addr.s_addr;
	head.check = fold(add_up(0, &head, sizeof(head)));
	memcpy(at, &head, sizeof(head));
	uint32_t sum = add_up(add_up(IPPROTO_TCP + size, &head.saddr, 8), at + sizeof(head), size);

	((struct tcphdr *)(at + sizeof(head)))->check = fold(sum);
	return sizeof(head) + size;
}

static size_t build_six(struct flood *flood, uint8_t *at)
{
	const struct settings *settings = flood->settings;
	struct ip6_hdr head = {.ip6_flow = htonl(6u << 28), .ip6_nxt = IPPROTO_TCP, .ip6_hlim = 64};
	size_t size = build_tcp(flood, at + sizeof(head));

	head.ip6_plen = htons(size);
	draw_source(flood, head.ip6_src.s6_addr, ((struct sockaddr_in6 *)&settings->prefix)->sin6_addr.s6_addr, 16);
	head.ip6_dst = ((struct sockaddr_in6 *)&settings->address)->sin6_addr;
	memcpy(at, &head, sizeof(head));
	uint32_t sum = add_up(add_up(IPPROTO_TCP + size, &head.ip6_src, 32), at + sizeof(head), size);

	((struct tcphdr *)(at + sizeof(head)))->check = fold(sum);
	return sizeof(head) + size;
}

static size_t build(struct flood *flood, uint8_t *at)
{
	bool four = flood->settings->address.ss_family == AF_INET;
	struct ether_header frame = {.ether_type = htons(four ? ETHERTYPE_IP : ETHERTYPE_IPV6)};
	size_t before = flood->framed ? sizeof(frame) : 0;

	if (flood->framed) {
		memcpy(frame.ether_dhost, flood->settings->mac, 6);
		memcpy(frame.ether_shost, flood->own_mac, 6);
		memcpy(at, &frame, sizeof(frame));
	}
	return before + (four ? build_four(flood, at + before) : build_six(flood, at + before));
}

static void open_device(struct flood *flood)
{
	struct ifreq request = {};
	int on = 1;

	flood->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (flood->socket < 0)
		fail("packet socket: %s", strerror(errno));
	memcpy(request.ifr_name, flood->settings->device, sizeof(flood->settings->device));
	if (ioctl(flood->socket, SIOCGIFHWADDR, &request))
		fail("--device %s: %s", flood->settings->device, strerror(errno));
	memcpy(flood->own_mac, request.ifr_hwaddr.sa_data, 6);
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(flood->settings->device)};

	if (bind(flood->socket, (struct sockaddr *)&address, sizeof(address)))
		fail("--device %s: %s", flood->settings->device, strerror(errno));
	setsockopt(flood->socket, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
}

static void open_raw(struct flood *flood)
{
	struct sockaddr_storage target = flood->settings->address;

	flood->socket = socket(target.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (flood->socket < 0 || connect(flood->socket, (struct sockaddr *)&target, flood->settings->address_size))
		fail("raw socket: %s", strerror(errno));
}

// Sends one batch; returns how many packets were sent, the rest of it having been refused.
static unsigned send_batch(struct flood *flood, unsigned count, struct failures *failures)
{
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {};
	unsigned sent = 0;

	for (unsigned i = 0; i < count; i++) {
		parts[i] = (struct iovec){flood->packets[i], build(flood, flood->packets[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	for (unsigned at = 0; at < count;) {
		int done = sendmmsg(flood->socket, messages + at, count - at, 0);

		if (done < 0) { // this one packet was refused; the next ones may not be
			count_failure(failures, errno);
			at++;
			continue;
		}
		sent += done;
		at += done;
	}
	return sent;
}

int synflood(const struct settings *settings)
{
	static struct flood flood;
	static struct failures failures;
	uint64_t tried = 0, sent = 0;

	flood.settings = settings;
	flood.framed = settings->device[0];
	if (getrandom(&flood.state, sizeof(flood.state), 0) != sizeof(flood.state))
		fail("getrandom: %s", strerror(errno));
	if (flood.framed)
		open_device(&flood);
	else
		open_raw(&flood);
	uint64_t start = now_ns(), now = start, end = start + settings->seconds * 1e9;

	while (!stopped && now < end && tried < settings->count) {
		uint64_t due = settings->rate > 0 ? settings->rate * (now - start) / 1e9 : settings->count;
		uint64_t want = (due < settings->count ? due : settings->count);

		if (want > tried) {
			unsigned count = want - tried < BATCH ? want - tried : BATCH;

			sent += send_batch(&flood, count, &failures);
			tried += count;
		} else {
			nanosleep(&(struct timespec){0, 500000}, NULL);
		}
		now = now_ns();
	}
	double seconds = (now - start) / 1e9;

	printf("{\"mode\":\"synflood\",\"seconds\":%.3f,\"sent\":%lu,\"per_second\":%.0f,", seconds, sent, sent / seconds);
	print_failures(&failures);
	puts("}");
	return 0;
}

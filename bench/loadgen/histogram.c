// Durations in log-linear slots: 256 for each power of two, so 0.4 % resolution at any size.
#include "loadgen.h"

static unsigned slot_of(uint64_t ns)
{
	if (ns < 256)
		return ns;
	unsigned power = 63 - __builtin_clzll(ns); // at least 8
	unsigned slot = (power - 7) * 256 + ((ns >> (power - 8)) & 255);

	return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

static double middle_of(unsigned slot)
{
	if (slot < 256)
		return slot;
	unsigned shift = slot / 256 - 1;

	return ((256 + slot % 256) + 0.5) * (double)(1ull << shift);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->count++;
	histogram->total_ns += ns;
	if (ns > histogram->largest_ns)
		histogram->largest_ns = ns;
	histogram->slots[slot_of(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->total_ns += from->total_ns;
	if (from->largest_ns > into->largest_ns)
		into->largest_ns = from->largest_ns;
	for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
		into->slots[i] += from->slots[i];
}

static double quantile_us(const struct histogram *histogram, double part)
{
	uint64_t wanted = histogram->count * part, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
		seen += histogram->slots[i];
		if (seen > wanted)
			return middle_of(i) / 1000;
	}
	return 0;
}

void histogram_print(const char *name, const struct histogram *histogram)
{
	double mean = histogram->count ? histogram->total_ns / 1000.0 / histogram->count : 0;

	printf("\"%s\":{\"count\":%lu,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"max\":%.2f}", name,
	       histogram->count, mean, quantile_us(histogram, 0.5), quantile_us(histogram, 0.9),
	       quantile_us(histogram, 0.99), histogram->largest_ns / 1000.0);
}

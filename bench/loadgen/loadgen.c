// Compiled load generator: short connections, bulk streams, held connections, datagrams and SYN floods.
#include "loadgen.h"

static int (*const run[MODES])(const struct settings *) = {
	[SERVE] = serve,
	[CONNECT] = connect_mode,
	[STREAM_SERVE] = stream_serve,
	[STREAM] = stream,
	[ECHO] = echo,
	[HOLD] = hold,
	[ANSWER] = answer_mode,
	[ASK] = ask,
	[SYNFLOOD] = synflood,
};

int main(int argc, char **argv)
{
	struct settings settings = parse_settings(argc, argv);

	catch_signals();
	return run[settings.mode](&settings);
}

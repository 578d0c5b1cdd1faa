"""Other ways to prove who connects to whom, on the hosts and under the load that Watchword is measured with."""

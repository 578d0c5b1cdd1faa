"""Keys, certificates, signatures and tokens. Pure: clock and randomness are passed in."""

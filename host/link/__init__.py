"""The cable: ports, the SMP client and one module per command group. Imports no torch."""

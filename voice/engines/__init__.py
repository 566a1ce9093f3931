"""Engines that hear and speak, chosen by configuration; each is loaded only when it is the one."""

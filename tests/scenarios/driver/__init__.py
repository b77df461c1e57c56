"""Plays scenarios to the clients: real servers, a proxy with faults, and a verdict."""

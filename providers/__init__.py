"""The world outside: adapters by vendor, the asset storage, and what fetches input media."""

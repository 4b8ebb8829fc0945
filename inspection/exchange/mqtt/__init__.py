"""MQTT: plain JSON topics. Only `link` needs the extra `mqtt`."""

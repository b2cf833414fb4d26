"""``lipforge serve``: live lip-sync for browsers over WebRTC and for voice agents over a WebSocket."""

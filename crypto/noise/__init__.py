"""Noise_XX_25519_AESGCM_SHA256 as the Noise Protocol Framework (revision 34) writes it, one file per object.

No other pattern, cipher or hash, no negotiation, no framing on a stream (that is `wire`). Reading order: `cipher`
(CipherState, Noise §5.1), `symmetric` (SymmetricState, §5.2), `handshake` (HandshakeState, §5.3), `binding` (what ties
a handshake to a network and to an identity). Spec: `specs/noise.md`.
"""

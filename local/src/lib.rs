//! Nameplate local lib

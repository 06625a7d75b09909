"""The door: the only way in for anything the host decides. One protocol; live, recording and replaying doors."""

# A container to look around in: no GPU, no workload, a root without a password.
{
  boot.isContainer = true;
  networking.hostName = "dubnium";
  system.stateVersion = "25.11";
  users.users.root.initialHashedPassword = "";

  dubnium.enable = true;
}

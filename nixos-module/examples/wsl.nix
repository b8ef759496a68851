# A distribution below Windows, on a base such as NixOS-WSL: headless, compute by default, and
# without the heavy services.
{
  dubnium.profiles.wsl.enable = true;
}

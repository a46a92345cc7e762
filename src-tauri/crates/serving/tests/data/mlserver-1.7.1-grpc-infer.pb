
bc2*/
predictINT64"
content_typenp*
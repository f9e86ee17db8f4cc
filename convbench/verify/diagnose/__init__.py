"""Why is it wrong, and on how small a problem?"""
